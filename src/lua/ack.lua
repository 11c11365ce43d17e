-- ack: a success is settled where a plain XACK would not do: it drops the hints, and tells whose the entry was by now.
-- KEYS: stream, due, given, note, and where it has a result, the result key
-- ARGV: group, consumer, id, delivery, and where it has a result, that and how long it is kept in ms
-- Answers: {code, owner, delivery, '0', '', 0, now, why its result is not kept}; code 0 acknowledged, 1 acknowledged although owner held it, 2 not pending
-- The first success wins: also that of a worker that lost its lease. But not one of an earlier life of an entry that was replayed
-- since (replay_step): that one was acknowledged.
-- Crash: one atomic step; sent again it answers 2. Hints that cannot be dropped (a key of another type) do not keep the
-- success from counting, hence pcall; nor does a result: as in keep.
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not p or math.floor(p[4] / 1024) > math.floor(tonumber(ARGV[4]) / 1024) then return {2, '', 0, '0', '', 0, now} end
local kept = KEYS[5] and redis.pcall('SET', KEYS[5], ARGV[5], 'PX', ARGV[6])
local acked = redis.pcall('XACK', KEYS[1], ARGV[1], ARGV[3])
if type(acked) == 'table' then
  if KEYS[5] then redis.pcall('SET', KEYS[5], '', 'PX', 1) end
  return acked
end
local why = kept and kept.err or nil
redis.pcall('ZREM', KEYS[2], ARGV[3])
redis.pcall('HDEL', KEYS[3], ARGV[3])
redis.pcall('HDEL', KEYS[4], ARGV[3])
if p[2] == ARGV[2] and p[4] == tonumber(ARGV[4]) then return {0, '', 0, '0', '', 0, now, why} end
return {1, p[2], p[4], '0', '', 0, now, why}
