-- limits: what waits because its job was at a limit is made due as far as it may start now; slots of the dead come free.
-- KEYS: stream, due, then running and starts of each job with limits
-- ARGV: group, a dead consumer ('' = none; with a / at the end: all whose names begin so), how many at most are made due,
--       then of each job: the score under which it waits, handlers at once (0 = any), starts in a period (0 = any), the period in ms
-- Answers: {made due, ms until more may start or -1, now, {others, free (-1 = any), started in the period} of each job}
-- What waits for a job that has no limits here (any more) is due.
-- Crash: each row stands alone; called again it goes on.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local group, dead, most_due = ARGV[1], ARGV[2], tonumber(ARGV[3])
local out, known = {0, -1, text(now)}, {}
-- Those that are due already come first: several hosts, or a look that follows at once, do not wake more than may start.
local ready = redis.call('ZCOUNT', KEYS[2], '-inf', text(now))

local function make_due(low, high, n)
  local ids = n > 0 and redis.call('ZRANGEBYSCORE', KEYS[2], text(low), text(high), 'LIMIT', 0, text(n)) or {}
  for i = 1, #ids do redis.call('ZADD', KEYS[2], text(now), ids[i]) end
  out[1] = out[1] + #ids
  return #ids
end

local function count_running(key)
  local rows, n = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), 0
  for i = 1, #rows, 2 do
    local name = rows[i]
    local is_dead = dead ~= '' and (name == dead or (string.sub(dead, -1) == '/' and string.sub(name, 1, #dead) == dead))
    if is_dead or (tonumber(rows[i + 1]) <= now and #redis.call('XPENDING', KEYS[1], group, '-', '+', 1, name) == 0) then
      redis.call('ZREM', key, name)
    else
      n = n + 1
    end
  end
  return n
end

for j = 0, (#ARGV - 3) / 4 - 1 do
  local band, most = tonumber(ARGV[4 + 4 * j]), tonumber(ARGV[5 + 4 * j])
  local starts, period = tonumber(ARGV[6 + 4 * j]), tonumber(ARGV[7 + 4 * j])
  local n = count_running(KEYS[3 + 2 * j])
  local free = most > 0 and math.max(0, most - n) or -1
  local may = free >= 0 and free or most_due
  local recent = 0
  known[band] = true
  if starts > 0 then
    recent = redis.call('ZCOUNT', KEYS[4 + 2 * j], '(' .. text(now - period - 1), '+inf')
    may = math.min(may, starts - recent)
  end
  local waiting = redis.call('ZCOUNT', KEYS[2], text(band), text(band + 1))
  local made = make_due(band, band + 1, math.min(may, most_due) - ready)
  ready = ready + made
  if starts > 0 and waiting > made then
    -- What was made due will be started; after it, the oldest starts must have passed out of the period.
    local at = recent + made >= starts and redis.call('ZRANGEBYSCORE', KEYS[4 + 2 * j], '(' .. text(now - period - 1), '+inf', 'WITHSCORES',
      'LIMIT', text(recent + made - starts), 1) or {}
    local wait = at[2] and math.max(1, tonumber(at[2]) + period + 1 - now) or 100
    if out[2] < 0 or wait < out[2] then out[2] = wait end
  end
  out[#out + 1] = {n, free, recent}
end

local low = '8e15'
for _ = 1, 1000 do
  local row = redis.call('ZRANGEBYSCORE', KEYS[2], low, '(9e15', 'WITHSCORES', 'LIMIT', 0, 1)
  if not row[1] then break end
  local band = tonumber(row[2]) - tonumber(row[2]) % 2
  if known[band] then
    low = text(band + 2)
  elseif make_due(band, band + 1, most_due) == most_due then
    break
  end
end
return out
