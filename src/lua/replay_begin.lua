-- replay_begin: what has been done is to run again, from one ID to another. How far that has got to stands in a key of its own, so
-- that whoever is stopped in the middle can go on: the same request that was not finished is gone on with.
-- KEYS: stream, replay
-- ARGV: group, token of the caller, what was asked for, first ID, last ID ('+' = what has been delivered by now), forget an earlier one
--       that was not finished 0|1
-- Answers: {0, token, where to go on (as XRANGE takes it), last ID, number that were put back before, when it was begun}
--          | {1, what an earlier one was asked for, where it has got to, its last ID, number, when}: that is not finished
-- What is delivered later is not part of it: it has not run before.
-- Crash: HSET is the only write; full memory refuses it.
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
local delivered
-- part: less
for i = 1, #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[1] then delivered = g['last-delivered-id'] end
end
if not delivered then return redis.error_reply('NOGROUP there is no such group') end

local known, flat = {}, redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do known[flat[i]] = flat[i + 1] end
if known.token and ARGV[6] ~= '1' then
  return {known.asked == ARGV[3] and 0 or 1, known.asked == ARGV[3] and known.token or known.asked, known.cursor, known.last, tonumber(known.count) or 0,
    known.at or '0'}
end
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local last = (ARGV[5] == '+' or less(delivered, ARGV[5])) and delivered or ARGV[5]
redis.call('HSET', KEYS[2], 'token', ARGV[2], 'asked', ARGV[3], 'cursor', ARGV[4], 'last', last, 'count', 0, 'at', now)
return {0, ARGV[2], ARGV[4], last, 0, now}
