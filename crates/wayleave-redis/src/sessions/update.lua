-- update: KEYS = base; ARGV = id; slot; prefix; expected revision; next revision; seen; idle; token's end; expiry; then
-- four lists, each after its length: fields to set and to remove of the first hash, and of the second. By
-- `Record::updated_from`.
local base = KEYS[1]
local id, slot, prefix, expected, revision, seen, idle, token_end, expiry = unpack(ARGV, 1, 9)
local lists, at = {}, 10
while at <= #ARGV do
  local length = tonumber(ARGV[at])
  table.insert(lists, { unpack(ARGV, at + 1, at + length) })
  at = at + 1 + length
end
local set_first, remove_first, set_second, remove_second = unpack(lists)

local first, second = base .. 's:' .. id, base .. 'x:' .. id
local held = hash(first)
if not held or held.slot ~= slot or held.pre ~= prefix then return { 'missing' } end
if not is_whole(held) then return { 'broken' } end
if held.rev ~= expected then return { 'conflict' } end

-- A touch that came in between is newer than what the change knew; the two fields stay a pair.
if tonumber(held.seen) <= tonumber(seen) then held.idle = given(idle) end
held.seen = later(held.seen, seen)
held.tend = earlier(token_end, held.abs)
held.exp = held.exp or given(expiry)
redis.call('HSET', first, 'rev', revision, 'seen', held.seen, 'tend', held.tend, unpack(set_first))
for _, name in ipairs({ 'idle', 'exp' }) do
  if held[name] then redis.call('HSET', first, name, held[name]) else redis.call('HDEL', first, name) end
end
if #remove_first > 0 then redis.call('HDEL', first, unpack(remove_first)) end
if #remove_second > 0 then redis.call('HDEL', second, unpack(remove_second)) end
if #set_second > 0 then
  redis.call('HSET', second, unpack(set_second))
  lasts(second, redis.call('PTTL', first))
end
note_end(base, id, held)
return { 'done', answer(base, id) }
