-- ARGV: for how long the piece is kept for the same message, in KEYS[2].
local bytes = redis.call('GET', KEYS[2])
if not bytes then
    local piece
    repeat
        piece = redis.call('LPOP', KEYS[1])
        if not piece then
            return false
        end
    until not has_ended(piece)
    bytes = string.sub(piece, string.find(piece, ' ', 1, true) + 1)
    redis.call('SET', KEYS[2], bytes, 'PX', ARGV[1])
end
return { bytes, waiting() }
