-- fetch: one new entry from the first of several streams that has any, in the caller's (weighted) order. Redis's own COUNT is
-- per stream, so one XREADGROUP over all of them would hand out more than one entry.
-- KEYS: stream, paused key; the same for each further queue
-- ARGV: consumer, then the group of each queue
-- Answers: {{stream, {{id, {field, value, ...}}}}} as XREADGROUP does; nil when all are empty; {index from 0, ...} of the paused
--           ones when the others are empty
-- A queue that cannot be read (no group, not a stream) does not keep the others from being served: its error is the answer
-- only when no other queue had anything.
-- Crash: the one write is XREADGROUP itself; an answer that gets lost leaves the entry pending under the consumer's name.
local failed
local paused = {}
for i = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i + 1]) == 1 then
    paused[#paused + 1] = (i - 1) / 2
  else
    local r = redis.pcall('XREADGROUP', 'GROUP', ARGV[(i + 1) / 2 + 1], ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[i], '>')
    if r and r.err then
      failed = failed or r
    elseif r and r[1] then
      return r
    end
  end
end
return failed or (#paused > 0 and paused) or false
