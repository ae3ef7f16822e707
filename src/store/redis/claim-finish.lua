-- ARGV: holder, answer, keep.
note_lost()
if not ours then
    return 0
end
if answer or not alive then
    return answer == ARGV[2] and 1 or 0
end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
