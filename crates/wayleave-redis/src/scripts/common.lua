-- Stands before every script. The keys of a cell begin with `base`; keys.rs says what they are, stored.rs what is in
-- the hashes of a record. Times are decimal milliseconds, below 2^53, and stay the texts that they were read as;
-- counts that may be larger are compared as texts and counted by the server.

local function earlier(a, b) if tonumber(b) < tonumber(a) then return b end return a end
local function later(a, b) if tonumber(b) > tonumber(a) then return b end return a end
-- How an absent optional value is given to a script.
local function given(text) if text ~= '' then return text end end

local function is_number(text) return text and string.find(text, '^%d+$') ~= nil end
local function is_number_or_absent(text) return not text or is_number(text) end

local function fields_of(flat)
  if #flat == 0 then return nil end
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- The hash at `key` as a table; nothing where there is none.
local function hash(key)
  return fields_of(redis.call('HGETALL', key))
end

local function is_wrong_type(text) return string.find(text, 'WRONGTYPE', 1, true) ~= nil end

-- The same where a key of a foreign type must not stand in the way: it is no record. Other errors are not for scripts
-- to judge: a key may be on its way to another server.
local function peek(key)
  local flat = redis.pcall('HGETALL', key)
  if not flat.err then return fields_of(flat) end
  if not is_wrong_type(flat.err) then error(flat) end
  return nil
end

-- The record `id` as it is answered: its id and the fields of both its hashes.
local function answer(base, id)
  return { id, redis.call('HGETALL', base .. 's:' .. id), redis.call('HGETALL', base .. 'x:' .. id) }
end

-- Whether everything is there that scripts go by, in the form that this version writes.
local function is_whole(held)
  if held.v ~= '1' then return false end
  for _, name in ipairs({ 'abs', 'born', 'seen', 'tend', 'slot', 'rev' }) do
    if not is_number(held[name]) then return false end
  end
  for _, name in ipairs({ 'idle', 'exp', 'gen', 'rot' }) do
    if not is_number_or_absent(held[name]) then return false end
  end
  return held.pre and held.fam and held.tok and held.kind and (held.gen or not held.refr)
end

-- As `Record::ends_at`.
local function ends(held)
  local at = held.abs
  if held.idle then at = earlier(at, held.idle) end
  if not held.refr then at = earlier(at, held.tend) end
  if held.exp then at = earlier(at, held.exp) end
  return at
end

-- Writes down when a record ends, for the census and the sweep.
local function note_end(base, id, held)
  redis.call('ZADD', base .. 'e:' .. held.kind, ends(held), id)
end

-- Lets `key` last at least as long as `ttl` says.
local function lasts(key, ttl)
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
end

-- Lets `key` lead somewhere for as long as `ttl` says.
local function leads(key, to, ttl)
  redis.call('SET', key, to)
  if tonumber(ttl) > 0 then redis.call('PEXPIRE', key, ttl) end
end

-- The sessions of a family, newest first.
local function members(base, family)
  return redis.call('ZRANGEBYSCORE', base .. 'f:' .. family, '-inf', '(0')
end

-- Removes the record `id` and all that leads to it. Gives what is left of it, or nothing where there is none. The
-- family's spent tokens go with the last session of the family.
local function finish(base, id)
  local key = base .. 's:' .. id
  local held = peek(key)
  if not held then return nil end
  redis.call('DEL', key, base .. 'x:' .. id)
  redis.call('ZREM', base .. 'a', id)
  redis.call('ZREM', base .. 'p', id)
  if held.tok then redis.call('DEL', base .. 't:' .. held.tok) end
  if held.refr then redis.call('DEL', base .. 'r:' .. held.refr) end
  if held.subj then redis.call('ZREM', base .. 'u:' .. held.subj, id) end
  if held.kind then
    local by_end = base .. 'e:' .. held.kind
    redis.call('ZREM', by_end, id)
    if redis.call('EXISTS', by_end) == 0 then redis.call('SREM', base .. 'k', held.kind) end
  end
  if held.fam then
    local family = base .. 'f:' .. held.fam
    redis.call('ZREM', family, id)
    if redis.call('ZCOUNT', family, '-inf', '(0') == 0 then
      for _, spent in ipairs(redis.call('ZRANGE', family, 0, -1)) do redis.call('DEL', base .. 'r:' .. spent) end
      redis.call('DEL', family)
    end
  end
  return {
    id, held.pre or false, held.slot or false, held.fam or false, held.tok or false, held.kind or false,
    held.subj or false,
  }
end

-- Which record a refresh token leads to: the one that holds it; for a spent one, of its family's sessions in this slot
-- the one that it was exchanged in, else the newest.
local function by_refresh(base, token, slot)
  local lead = redis.call('GET', base .. 'r:' .. token)
  if not lead then return nil end
  local name = string.sub(lead, 2)
  if string.sub(lead, 1, 1) == 'i' then return name end
  local newest
  for _, id in ipairs(members(base, name)) do
    local held = peek(base .. 's:' .. id)
    if held and held.slot == slot then
      if held.pred == token then return id end
      newest = newest or id
    end
  end
  return newest
end

-- Runs `work`; a key of a foreign type on its way is noted in `broken`, anything else stays an error.
local function tolerant(broken, work, ...)
  local done, result = pcall(work, ...)
  if done then return result end
  local text = type(result) == 'table' and result.err or tostring(result)
  if not is_wrong_type(text) then error(result) end
  table.insert(broken, text)
  return nil
end

-- The beginning of the keys of a cell, by its number.
local function base_of(prefix, cell)
  return prefix .. ':{' .. string.char(64 + math.floor(cell / 16), 64 + cell % 16) .. 'wl}:'
end
