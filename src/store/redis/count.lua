-- ARGV: limit, window. A sorted set: each count by when it is forgotten.
local now = milliseconds()
local counted = redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')
if counted >= tonumber(ARGV[1]) then
    return false
end
redis.call('ZADD', KEYS[1], now + ARGV[2], next_number())
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return counted + 1
