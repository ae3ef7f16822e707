-- ARGV: bytes, life, the version that must be there (`*` for any or none, empty for none).
if ARGV[3] ~= '*' then
    local value = redis.call('GET', KEYS[1])
    if (value and string.match(value, '^%d+') or '') ~= ARGV[3] then
        return 0
    end
end
redis.call('SET', KEYS[1], next_number() .. ' ' .. ARGV[1], 'PX', ARGV[2])
return 1
