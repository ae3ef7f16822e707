-- What the scripts about an outbox begin with. It is a list; each piece is when it ends, a space, and its bytes.
local now = milliseconds()

local function has_ended(piece)
    return tonumber(string.match(piece, '^%d+')) <= now
end

-- How many wait. Those that have ended are removed.
local function waiting()
    local count = 0
    for _, piece in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
        if has_ended(piece) then
            redis.call('LREM', KEYS[1], 1, piece)
        else
            count = count + 1
        end
    end
    return count
end
