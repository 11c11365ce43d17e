-- pause: a queue is paused (nothing starts, neither new nor due) or goes on.
-- KEYS: paused
-- ARGV: 1 to pause, 0 to go on
-- Answers: 1 that is a change, 0 it was so
-- Crash: one write. EXPIRE 0 removes the key, with no right more than the documented minimum.
local is = redis.call('EXISTS', KEYS[1])
if ARGV[1] == '1' and is == 0 then
  redis.call('SET', KEYS[1], '1')
  return 1
end
if ARGV[1] == '0' and is == 1 then
  redis.call('EXPIRE', KEYS[1], 0)
  return 1
end
return 0
