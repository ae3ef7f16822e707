-- What all scripts begin with. Each is one step: Redis does nothing else meanwhile. The time is the server's, so that
-- hosts whose clocks differ agree.

local function milliseconds()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number that never was before, as text. KEYS[2] keeps it; it begins with the time, so that it grows even if Redis has
-- lost everything.
local function next_number()
    if redis.call('EXISTS', KEYS[2]) == 0 then
        local time = redis.call('TIME')
        redis.call('SET', KEYS[2], time[1] .. string.format('%06d', time[2]))
    end
    redis.call('INCR', KEYS[2])
    return redis.call('GET', KEYS[2])
end
