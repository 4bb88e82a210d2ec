-- rotate: KEYS = base; ARGV = presented token; slot; next token; next refresh token; sealed pair; end of the next token;
-- seen; idle; client tag; sealed client; window; now; the latest birth that is not in the future; how many spent tokens
-- are kept. By the verdict of `refresh::judge`, which `judge` below repeats.
local base = KEYS[1]
local presented, slot, token, refresh, pair, token_end, seen, idle, tag, client, window, now, latest, kept =
  unpack(ARGV)

local function passed(held)
  if tonumber(now) >= tonumber(held.abs) then return 'absolute' end
  if held.exp or (held.idle and tonumber(now) >= tonumber(held.idle)) then return 'idle' end
  if tonumber(held.born) > tonumber(latest) then return 'not-before' end
end

local function judge(held, has_pair)
  if not held.refr then return 'reuse' end
  local limit = passed(held)
  if presented == held.refr then return limit and 'expired' or 'rotate', limit end
  local distance = held.rot and math.abs(now - held.rot)
  local again = held.pred == presented and held.rtag == tag and distance < tonumber(window) and has_pair
  return again and not limit and 'repeat' or 'reuse'
end

local id = by_refresh(base, presented, slot)
if not id then return { 'unknown' } end
local first, second = base .. 's:' .. id, base .. 'x:' .. id
local held = hash(first)
if not held or held.slot ~= slot then return { 'unknown' } end
if not is_whole(held) or (held.pred and not held.rot) then return { 'broken' } end
local verdict, limit = judge(held, redis.call('HEXISTS', second, 'pair') == 1)
if verdict == 'expired' then return { 'expired', limit, answer(base, id) } end
if verdict == 'repeat' then return { 'repeat', answer(base, id) } end
if verdict == 'reuse' then
  local gone = {}
  for _, member in ipairs(members(base, held.fam)) do
    local other = peek(base .. 's:' .. member)
    if other and other.slot == slot then table.insert(gone, finish(base, member)) end
  end
  return { 'reuse', gone }
end

if redis.call('EXISTS', base .. 't:' .. token) == 1 or redis.call('EXISTS', base .. 'r:' .. refresh) == 1 then
  return { 'taken' }
end
local previous = held.tok
local ttl = redis.call('PTTL', first)
if held.gen ~= '4294967295' then redis.call('HINCRBY', first, 'gen', 1) end
redis.call('HINCRBY', first, 'rev', 1)
-- As `Activity::moved_forward`.
if held.idle and given(idle) then
  held.idle = later(held.idle, idle)
elseif not held.idle or tonumber(seen) > tonumber(held.seen) then
  held.idle = nil
end
held.seen = later(held.seen, seen)
held.tend = earlier(token_end, held.abs)
held.tok, held.refr = token, refresh
redis.call('HSET', first, 'tok', token, 'refr', refresh, 'pred', presented, 'rot', now, 'rtag', tag, 'seen', held.seen,
  'tend', held.tend)
if held.idle then redis.call('HSET', first, 'idle', held.idle) else redis.call('HDEL', first, 'idle') end
for name, value in pairs({ pair = pair, rcl = client }) do
  if value ~= '' then redis.call('HSET', second, name, value) else redis.call('HDEL', second, name) end
end
lasts(second, ttl)
redis.call('DEL', base .. 't:' .. previous)
leads(base .. 't:' .. token, id, ttl)
leads(base .. 'r:' .. refresh, 'i' .. id, ttl)
leads(base .. 'r:' .. presented, 'f' .. held.fam, ttl)
if pair ~= '' then redis.call('ZADD', base .. 'p', now, id) else redis.call('ZREM', base .. 'p', id) end
note_end(base, id, held)

local family = base .. 'f:' .. held.fam
redis.call('ZADD', family, now, presented)
local surplus = redis.call('ZCOUNT', family, 0, '+inf') - kept
if surplus > 0 then
  for _, spent in ipairs(redis.call('ZRANGEBYSCORE', family, 0, '+inf', 'LIMIT', 0, surplus)) do
    redis.call('DEL', base .. 'r:' .. spent)
    redis.call('ZREM', family, spent)
  end
end
return { 'done', previous, answer(base, id) }
