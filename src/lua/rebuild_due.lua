-- rebuild_due: parked entries that have no due time (the key was deleted) get one: now.
-- KEYS: stream, due
-- ARGV: group, cursor ('-' = from the beginning), how many rows, name of the parking consumer
-- Answers: {next cursor ('-' = the end was reached), number added, now}
-- Crash: NX keeps every due time that is there; called again it goes on.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local first = (ARGV[2] == '-' or ARGV[2] == '') and '-' or '(' .. ARGV[2]
local rows = redis.call('XPENDING', KEYS[1], ARGV[1], first, '+', ARGV[3], ARGV[4])
local add = {'ZADD', KEYS[2], 'NX'}
for i = 1, #rows do
  add[#add + 1] = now
  add[#add + 1] = rows[i][1]
end
local added = #rows > 0 and redis.call(unpack(add)) or 0
return {#rows == tonumber(ARGV[3]) and rows[#rows][1] or '-', added, now}
