-- take: due entries go from xackd:parked to the calling worker, and their delivery number goes up by one.
-- KEYS: stream, due, given, note, dead, paused
-- ARGV: group, consumer, how many, name of the parking consumer
-- Answers: {paused 0|1, ms until the next is due or -1, now, {vanished id, ...}, {gone id, its dead id, ...},
--           {id, delivery, given, note or '', {field, value, ...}}, ...}
--   vanished: had a due time and is not pending any more; gone: deleted while it was parked, now a dead letter payload_gone
-- What is no ID is dropped. A row of an entry that another consumer holds is dropped: it is a leftover, or the sign of life of a deleted entry's owner,
-- and its time is up. What is taken keeps its row, far in the future, until it is settled: should the group be destroyed before
-- the caller has read the answer, nothing else tells of it (group).
-- Crash: per entry the reads that can fail come first, then XCLAIM (propagated with its count). After the answer is lost the
-- entry is pending under the consumer's name, as after a lost read.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local out = {0, -1, text(now), {}, {}}

-- part: dead_add
-- part: bury_gone

-- Anybody may have written into `due`: what is no ID of an entry there would make every command refuse it, and so this script, for ever.
local function is_id(text)
  local ms, seq = string.match(text, '^(%d+)-(%d+)$')
  local function fits(n) return #n < 20 or #n == 20 and n <= '18446744073709551615' end
  return ms and fits(ms) and fits(seq)
end

local function take(id)
  if not is_id(id) then
    redis.call('ZREM', KEYS[2], id)
    return 0
  end
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  local given = tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0
  local note = redis.call('HGET', KEYS[4], id) or ''
  if not p then
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    table.insert(out[4], id)
    return 0
  end
  if p[2] ~= ARGV[4] then
    redis.call('ZREM', KEYS[2], id)
    return 0
  end
  local e = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not e then
    local host = string.match(ARGV[2], '^[^/]*')
    table.insert(out[5], id)
    table.insert(out[5], bury_gone(id, p[4], given, math.max(0, p[4] - given), ARGV[1], host, 'it was parked'))
    return 0
  end
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', p[4] + 1, 'JUSTID')
  redis.call('ZADD', KEYS[2], '9e15', id)
  out[#out + 1] = {id, p[4] + 1, given, note, e[2]}
  return 1
end

local left, looked = tonumber(ARGV[3]), 0
if redis.call('EXISTS', KEYS[6]) == 1 then
  out[1] = 1
  left = 0
end
while left > 0 and looked < 200 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now), 'LIMIT', 0, left)
  if #due == 0 then break end
  for i = 1, #due do
    left = left - take(due[i])
    looked = looked + 1
  end
end
local following = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if #following == 2 and tonumber(following[2]) < 8e15 then out[2] = math.max(0, tonumber(following[2]) - now) end
return out
