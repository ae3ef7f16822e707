-- What the scripts about claims begin with: ARGV[1] is the holder, if there is one. `alive_until` is 0 once the claim was found lost, and
-- so it stays.
local now = milliseconds()
local row = redis.call('HMGET', KEYS[1], 'holder', 'alive_until', 'answer')
local holder, alive_until, answer = row[1], tonumber(row[2] or '0'), row[3]
local alive = alive_until > now
local ours = holder == ARGV[1]

local function note_lost()
    if holder and not answer and not alive and alive_until > 0 then
        redis.call('HSET', KEYS[1], 'alive_until', 0)
    end
end

local function prolong(life)
    redis.call('HSET', KEYS[1], 'alive_until', now + life)
    local kept = tonumber(redis.call('HGET', KEYS[1], 'keep'))
    redis.call('PEXPIRE', KEYS[1], math.max(kept, tonumber(life)))
end
