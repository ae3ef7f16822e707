-- ARGV: life, pieces.
local ends = string.format('%.0f ', now + ARGV[1])
for number = 2, #ARGV do
    redis.call('RPUSH', KEYS[1], ends .. ARGV[number])
end
keep(ARGV[1])
return waiting()
