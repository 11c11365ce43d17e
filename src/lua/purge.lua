-- purge: a dead letter is removed, and the note that spoke of it.
-- KEYS: dead, note
-- ARGV: dead id
-- Answers: 1 removed, 0 it is not there
-- Crash: a note without its dead letter is found by the janitor.
redis.call('HEXISTS', KEYS[2], '')
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local f = letter[2]
redis.call('XDEL', KEYS[1], ARGV[1])
if f[1] ~= 'xackd.meta' then return 1 end
for i = 3, 2 + 2 * (tonumber(f[2]) or 0), 2 do
  if f[i] == 'xackd.id' then
    local note = redis.call('HGET', KEYS[2], f[i + 1])
    if note and string.find(note, '"dead_id":"' .. ARGV[1] .. '"', 1, true) then redis.call('HDEL', KEYS[2], f[i + 1]) end
    return 1
  end
end
return 1
