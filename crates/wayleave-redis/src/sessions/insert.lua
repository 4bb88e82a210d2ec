-- insert: KEYS = base, base of the replaced one; ARGV = now; the latest birth that is not in the future; lifetime of the
-- keys; id, prefix and expected revision of the replaced one; the limit and what happens at it; id; how many of the
-- rest are fields of the first hash; fields.
local base, away = KEYS[1], KEYS[2]
local now, latest, ttl, old, old_prefix, expected, most, at_limit, id, count = unpack(ARGV, 1, 10)
old, expected, most = given(old), given(expected), given(most)
local first, second = { unpack(ARGV, 11, 10 + count) }, { unpack(ARGV, 11 + count) }
local new, has_pair = {}, false
for i = 1, #first, 2 do new[first[i]] = first[i + 1] end
for i = 1, #second, 2 do has_pair = has_pair or second[i] == 'pair' end

if old then
  local held = redis.call('HMGET', away .. 's:' .. old, 'rev', 'pre')
  if expected and (held[1] ~= expected or held[2] ~= old_prefix) then return { 'conflict' } end
  if held[2] ~= old_prefix then old = nil end
end
if redis.call('EXISTS', base .. 's:' .. id) == 1 or redis.call('EXISTS', base .. 't:' .. new.tok) == 1
  or (new.refr and redis.call('EXISTS', base .. 'r:' .. new.refr) == 1) then
  return { 'exists' }
end

-- The subject's other live records of the kind. Those that have ended are marked, so that what is not counted today is
-- not back tomorrow.
local marked, ahead = 0, 0
local function rivals()
  local subject, live = base .. 'u:' .. new.subj, {}
  for _, rival in ipairs(redis.call('ZRANGE', subject, 0, -1)) do
    local key = base .. 's:' .. rival
    local held = peek(key)
    if held and held.kind == new.kind and not held.exp and is_whole(held) and not (rival == old and away == base) then
      if tonumber(now) >= tonumber(ends(held)) then
        redis.call('HSET', key, 'exp', now)
        redis.call('HINCRBY', key, 'rev', 1)
        held.exp = now
        note_end(base, rival, held)
        marked = 1
      else
        table.insert(live, { rival, tonumber(held.born), tonumber(held.seen) })
        if tonumber(held.born) > tonumber(latest) then ahead = ahead + 1 end
      end
    end
  end
  return live
end

-- What was opened in the future makes room before any other.
local function is_ahead(a, b)
  local first, second = a[2] > tonumber(latest), b[2] > tonumber(latest)
  return first ~= second, first
end

local function oldest(a, b)
  local differ, first = is_ahead(a, b)
  if differ then return first end
  if a[2] ~= b[2] then return a[2] < b[2] end
  return a[1] < b[1]
end

local function least_recently_seen(a, b)
  local differ, first = is_ahead(a, b)
  if differ then return first end
  if a[3] ~= b[3] then return a[3] < b[3] end
  return oldest(a, b)
end

local evict = {}
if most and new.subj then
  local live = rivals()
  local excess = #live + 1 - most
  if excess > 0 then
    -- Where there may be none, there is nobody to make room for it.
    if tonumber(most) == 0 or (at_limit == 'refuse' and excess > ahead) then
      if old then finish(away, old) end
      return { 'refused' }
    end
    table.sort(live, at_limit == 'least' and least_recently_seen or oldest)
    for i = 1, excess do table.insert(evict, live[i][1]) end
  end
end

-- A server that is full refuses a script's first write, and only that: so it comes first.
redis.call('HSET', base .. 's:' .. id, unpack(first))
redis.call('DEL', base .. 'x:' .. id)
redis.call('PEXPIRE', base .. 's:' .. id, ttl)
if #second > 0 then
  redis.call('HSET', base .. 'x:' .. id, unpack(second))
  redis.call('PEXPIRE', base .. 'x:' .. id, ttl)
end
leads(base .. 't:' .. new.tok, id, ttl)
if new.refr then leads(base .. 'r:' .. new.refr, 'i' .. id, ttl) end
redis.call('ZADD', base .. 'a', new.born, id)
note_end(base, id, new)
redis.call('SADD', base .. 'k', new.kind)
if has_pair then redis.call('ZADD', base .. 'p', new.rot, id) end
-- Sessions have scores below zero, newest first; spent tokens have the time of their exchange.
redis.call('ZADD', base .. 'f:' .. new.fam, -1 - new.born, id)
lasts(base .. 'f:' .. new.fam, ttl)
if new.subj then
  redis.call('ZADD', base .. 'u:' .. new.subj, new.born, id)
  lasts(base .. 'u:' .. new.subj, ttl)
end

-- Only now, so that a family that goes on in the new record keeps its spent tokens.
local replaced = old and finish(away, old) or false
local evicted = {}
for _, rival in ipairs(evict) do table.insert(evicted, finish(base, rival)) end
return { 'done', replaced, evicted, marked }
