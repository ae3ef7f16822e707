-- ARGV: the version that must be there.
local value = redis.call('GET', KEYS[1])
if not value or string.match(value, '^%d+') ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
