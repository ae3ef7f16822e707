-- ARGV: holder, life, keep. Gives what became of the message (0 it is the caller's, 1 running, 2 lost, 3 answered), the
-- attempt, and the answer.
if not holder then
    redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'attempt', 1, 'keep', ARGV[3])
end
if not holder or (ours and alive and not answer) then
    prolong(ARGV[2])
    return { 0, 1, '' }
end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
note_lost()
if answer then
    return { 3, attempt, answer }
end
return { alive and 1 or 2, attempt, '' }
