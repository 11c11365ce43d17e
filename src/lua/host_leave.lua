-- host_leave: a host gives its name back, if it is still its own.
-- KEYS: hosts
-- ARGV: name, boot, machine, pid_ns, pid, started
-- Answers: 1 given back, 0 it was not mine
-- Crash: one write.
local function text(n) return string.format('%.0f', tonumber(n) or 0) end
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, row = pcall(cjson.decode, raw or '')
if not ok or type(row) ~= 'table' then return 0 end
if row.boot ~= ARGV[2] or row.machine ~= ARGV[3] or text(row.pid_ns) ~= ARGV[4] or text(row.pid) ~= ARGV[5] or
  text(row.started) ~= ARGV[6] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
