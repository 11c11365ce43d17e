-- cron_see: a host that begins to look after a schedule asks where it has got to. A schedule that was not there, or was another one (other times), begins
-- now: it has nothing to make up for.
-- KEYS: cron
-- ARGV: name, rule (what makes it the same schedule)
-- Answers: {last slot, now}; for one that begins, both are now
-- A slot more than a day ahead comes from a clock that was set back since: the schedule begins anew, too.
-- Crash: one write.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local row = redis.call('HGET', KEYS[1], ARGV[1])
local last = row and #row < 16 and string.match(row, '^%d+$') and tonumber(row)
local rule = redis.call('HGET', KEYS[1], ARGV[1] .. '/rule')
if last and last <= now + 86400000 and rule == ARGV[2] then return {text(last), text(now)} end
-- Never back: another host may just have fired one.
last = last and last <= now + 86400000 and math.max(last, now) or now
redis.call('HSET', KEYS[1], ARGV[1], text(last), ARGV[1] .. '/rule', ARGV[2])
return {text(last), text(now)}
