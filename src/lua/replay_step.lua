-- replay_step: entries that this group is done with are pending for it again, parked and due now, with the IDs that they have.
-- KEYS: stream, due, given, note, dead, replay
-- ARGV: group, name of the parking consumer, token, where the caller goes on from, where the next step does, the end 0|1, id, ...
-- Answers: {0, how many were put back, in all, rows in due} | {1}: it is another one by now, or somebody else went on with it
-- What is pending, was not delivered yet, was trimmed, or stands as a dead letter is left alone: it is looked at here again.
-- An attempt is the delivery number less what was given back. A new life begins with the first attempt and a number that is above
-- all that the entry had: the time in µs, in steps of 1,024, which lives never share; all of it counts as given back.
-- Crash: whether the step was done is known by where the key stands: a step that is sent again answers 1. HSET comes first, so that
-- full memory refuses the whole step.
local cursor = redis.call('HGET', KEYS[6], 'cursor')
if redis.call('HGET', KEYS[6], 'token') ~= ARGV[3] or cursor ~= ARGV[4] then return {1} end
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local us = t[1] * 1000000 + t[2]
local delivery = string.format('%.0f', us - us % 1024)
-- part: less
local delivered
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[1] then delivered = g['last-delivered-id'] end
end
if not delivered then return redis.error_reply('NOGROUP there is no such group') end

local function is_done(id)
  if less(delivered, id) or #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) > 0 then return false end
  local note = redis.call('HGET', KEYS[4], id)
  local dead_id = note and string.match(note, '"dead_id":"(%d+%-%d+)"')
  return not (dead_id and #redis.call('XRANGE', KEYS[5], dead_id, dead_id) > 0)
end
local ids = {}
for i = 7, #ARGV do
  if is_done(ARGV[i]) then ids[#ids + 1] = ARGV[i] end
end
redis.call('HEXISTS', KEYS[3], '')
redis.call('ZCARD', KEYS[2])

redis.call('HSET', KEYS[6], 'cursor', ARGV[5])
local n = 0
for i = 1, #ids do
  local put = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ids[i], 'RETRYCOUNT', delivery, 'FORCE', 'JUSTID')
  if #put > 0 then
    redis.call('HSET', KEYS[3], ids[i], delivery)
    redis.call('HDEL', KEYS[4], ids[i])
    redis.call('ZADD', KEYS[2], now, ids[i])
    n = n + 1
  end
end
local count = redis.call('HINCRBY', KEYS[6], 'count', n)
if ARGV[6] == '1' then redis.call('HDEL', KEYS[6], 'token', 'asked', 'cursor', 'last', 'count', 'at') end
return {0, n, count, redis.call('ZCARD', KEYS[2])}
