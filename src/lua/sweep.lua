-- sweep: a bounded step through what is pending, of the whole group or of one consumer: what has been idle for longer than the
-- lease has lost its owner and is parked, due now. A bare XAUTOCLAIM over the group would be wrong twice: it purges the rows of
-- deleted entries whatever their idle time, and claims what is parked.
-- KEYS: stream, due, given, note, dead, hosts
-- ARGV: group, host of the caller, lease in ms, take from foreign consumers 0|1, cursor ('-' = from the beginning), Redis time in
--       ms at which the caller expects to run (0 = no guard), rows at most, one consumer ('' = all), name of the parking consumer
-- Answers: {late 0|1, more 0|1, cursor, now, {id, consumer, idle, delivery, attempt, kind, dead id}, ...};
--          kind 0 parked, 2 payload gone: a dead letter
-- late: the time is more than lease/4 off (Redis or the caller was frozen, the clock was set): nothing was done.
-- The longest lease of any host counts. The row of a deleted entry is its owner's while the due time that the owner renews lies
-- ahead. Foreign: the name is not of the form HOST/POOL/SLOT/INCARNATION.
-- Crash: staging is idempotent; each entry's attempt is counted by the take that follows.
redis.call('ZREM', KEYS[2], '')
redis.call('HEXISTS', KEYS[3], '')
redis.call('HEXISTS', KEYS[4], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local function plain(s) return (string.gsub(s, '[^%w%._/:@-]', '?')) end
local group, host, lease, expected, parked = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[6]), ARGV[9]
if expected > 0 and math.abs(now - expected) > lease / 4 then return {1, 0, ARGV[5], text(now)} end

local hosts = redis.call('HGETALL', KEYS[6])
for i = 2, #hosts, 2 do lease = math.max(lease, tonumber(string.match(hosts[i], '"lease_ms":(%d+)') or 0)) end
lease = math.min(lease, 315360000000) -- ten years, the longest there is

local function foreign(name)
  local incarnation = string.match(name, '^[%w%._-]+/[%w%._-]+/%d+/(%x+)$')
  return not incarnation or #incarnation ~= 16
end

-- The due time of an ID, asked for in a way that the documented minimal rights allow (ZADD XX INCR 0 changes nothing).
local function due_of(id) return tonumber(redis.call('ZADD', KEYS[2], 'XX', 'INCR', 0, id) or 0) or 0 end

-- part: dead_add
-- part: bury_gone

-- Gives the kind, or nothing when the row is to be left.
local function recover(id, from, delivery, given, attempt)
  if #redis.call('XRANGE', KEYS[1], id, id) == 0 then
    local due = due_of(id)
    if due > now and due < 9e15 then return nil end -- (9e15 only says that it was taken)
    return 2, bury_gone(id, delivery, given, math.max(0, delivery - given), group, host, plain(from) .. ' held it')
  end
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], group, parked, lease, id, 'COUNT', 1, 'JUSTID')[2]
  if claimed[1] ~= id then return nil end
  redis.call('ZADD', KEYS[2], text(now), id)
  redis.call('HSET', KEYS[4], id, '{"reason":"worker_lost","detail":"' .. plain(from) .. ' gave no sign of life for its lease","host":"' ..
    plain(host) .. '","attempt":' .. text(attempt) .. ',"at_ms":' .. text(now) .. ',"delivery":' .. text(delivery) ..
    ',"given":' .. text(given) .. '}')
  return 0, ''
end

local rows
if ARGV[8] == '' then
  local first = (ARGV[5] == '-' or ARGV[5] == '') and '-' or '(' .. ARGV[5]
  rows = redis.call('XPENDING', KEYS[1], group, first, '+', ARGV[7])
else
  rows = redis.call('XPENDING', KEYS[1], group, 'IDLE', text(lease), '-', '+', ARGV[7], ARGV[8])
end
local full = #rows == tonumber(ARGV[7])
local out = {0, 0, full and ARGV[8] == '' and rows[#rows][1] or '-', text(now)}
for i = 1, #rows do
  local id, from, idle, delivery = rows[i][1], rows[i][2], rows[i][3], rows[i][4]
  if idle >= lease and from ~= parked and (ARGV[4] == '1' or not foreign(from)) then
    local given = tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0
    local attempt = math.max(1, delivery - given)
    local kind, dead_id = recover(id, from, delivery, given, attempt)
    if kind then out[#out + 1] = {id, from, idle, delivery, attempt, kind, dead_id} end
  end
end
if full and (ARGV[8] == '' or #out > 4) then out[2] = 1 end
return out
