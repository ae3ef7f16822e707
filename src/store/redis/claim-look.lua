-- No ARGV. Gives what became of the message as `claim-take.lua` does, or nothing.
if not holder then
    return nil
end
local attempt = tonumber(redis.call('HGET', KEYS[1], 'attempt'))
return { answer and 3 or alive and 1 or 2, attempt, answer or '' }
