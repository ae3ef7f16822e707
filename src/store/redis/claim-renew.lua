-- ARGV: holder, life.
note_lost()
if not ours or not alive or answer then
    return 0
end
prolong(ARGV[2])
return 1
