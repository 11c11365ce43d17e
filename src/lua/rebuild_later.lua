-- rebuild_later: delayed entries that lost their due time (the key was deleted, or the row) get it back from their ID; one whose ID tells
-- none is due now.
-- KEYS: later, later:data
-- ARGV: cursor of HSCAN, about how many
-- Answers: {next cursor ('0' = the end), number added}
-- Crash: NX keeps every due time that is there; called again it goes on.
redis.call('ZREM', KEYS[1], '\0xackd')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local step = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local added = 0
for i = 1, #step[2], 2 do
  local due = tonumber(string.match(step[2][i], '^(%d+)%-%d+$') or now)
  added = added + redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', math.min(due, 9e14)), step[2][i])
end
return {step[1], added}
