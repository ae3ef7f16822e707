-- ARGV: holder, life. A lease is its generation, a space, and its holder. Gives whether it is the caller's, and its
-- generation or the time that it lasts.
local held = redis.call('GET', KEYS[1])
local generation = held and string.match(held, '^%d+')
if held and held ~= generation .. ' ' .. ARGV[1] then
    return { 0, tostring(redis.call('PTTL', KEYS[1])) }
end
generation = generation or next_number()
redis.call('SET', KEYS[1], generation .. ' ' .. ARGV[1], 'PX', ARGV[2])
return { 1, generation }
