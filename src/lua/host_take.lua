-- host_take: the name of a host is taken for one queue.
-- KEYS: hosts
-- ARGV: name, row (JSON object without seen_ms and delivered), boot, machine, pid_ns, pid, started, force 0|1
-- Answers: {0} it is mine now; {1, boot, machine, pid_ns, pid, started, lease_ms, version, ms since it was seen} another has it
-- Taken when there is no row (or none that can be read), when it is mine, when it is older than its own lease, or by force.
-- Crash: one write. The highest delivered ID of an earlier holder is kept, since the group may have to be made from it.
redis.call('HDEL', KEYS[1], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', tonumber(n) or 0) end
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, row = pcall(cjson.decode, raw or '')
if not ok or type(row) ~= 'table' then row = nil end
if row and ARGV[8] ~= '1' then
  local mine = row.boot == ARGV[3] and row.machine == ARGV[4] and text(row.pid_ns) == ARGV[5] and text(row.pid) == ARGV[6] and
    text(row.started) == ARGV[7]
  local ago = now - (tonumber(row.seen_ms) or 0)
  if not mine and ago <= (tonumber(row.lease_ms) or 0) then
    return {1, tostring(row.boot), tostring(row.machine), text(row.pid_ns), text(row.pid), text(row.started), text(row.lease_ms),
      tostring(row.version), text(ago)}
  end
end
local delivered = string.match(raw or '', '"delivered":"(%d+%-%d+)"')
redis.call('HSET', KEYS[1], ARGV[1], string.sub(ARGV[2], 1, -2) .. ',"seen_ms":' .. text(now) ..
  (delivered and ',"delivered":"' .. delivered .. '"' or '') .. '}')
return {0}
