-- reap: what a consumer that is known to be dead had pending goes back: what it ran has lost an attempt, the rest was never run
-- and is given back. When nothing is left, the consumer is deleted.
-- KEYS: stream, due, given, note, dead
-- ARGV: group, consumer, host of the caller, all of it was run 0|1, how many at most, name of the parking consumer,
--       then id and delivery (0 = any) of each that was run
-- Answers: {0, more 0|1, '-', now, {id, consumer, idle, delivery, attempt, kind, dead id}, ...};
--          kind 0 parked (lost its run), 1 given back, 2 payload gone: a dead letter
-- Crash: each entry is under the parking consumer as soon as it has left the dead one's name; called again it goes on.
redis.call('ZREM', KEYS[2], '')
redis.call('HEXISTS', KEYS[3], '')
redis.call('HEXISTS', KEYS[4], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local function plain(s) return (string.gsub(s, '[^%w%._/:@-]', '?')) end
local group, from, host, parked = ARGV[1], ARGV[2], ARGV[3], ARGV[6]

local ran = {}
for i = 7, #ARGV, 2 do ran[ARGV[i]] = tonumber(ARGV[i + 1]) end

-- part: dead_add
-- part: bury_gone

local rows = redis.call('XPENDING', KEYS[1], group, '-', '+', ARGV[5], from)
local out = {0, #rows == tonumber(ARGV[5]) and 1 or 0, '-', text(now)}
for i = 1, #rows do
  local id, idle, delivery = rows[i][1], rows[i][3], rows[i][4]
  local given = tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0
  local attempt = math.max(1, delivery - given)
  local counts = ARGV[4] == '1' or ran[id] == 0 or ran[id] == delivery
  local kind, dead_id = counts and 0 or 1, ''
  if #redis.call('XRANGE', KEYS[1], id, id) == 0 then
    kind = 2
    dead_id = bury_gone(id, delivery, given, math.max(0, delivery - given - (counts and 0 or 1)), group, host, plain(from) .. ' held it')
  else
    redis.call('XCLAIM', KEYS[1], group, parked, 0, id, 'JUSTID')
    redis.call('ZADD', KEYS[2], text(now), id)
    if counts then
      redis.call('HSET', KEYS[4], id, '{"reason":"worker_lost","detail":"' .. plain(from) .. ' died","host":"' .. plain(host) ..
        '","attempt":' .. text(attempt) .. ',"at_ms":' .. text(now) .. ',"delivery":' .. text(delivery) .. ',"given":' .. text(given) .. '}')
    else
      redis.call('HINCRBY', KEYS[3], id, 1)
    end
  end
  out[#out + 1] = {id, from, idle, delivery, attempt, kind, dead_id}
end
if #redis.call('XPENDING', KEYS[1], group, '-', '+', 1, from) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, from)
end
return out
