-- Stands before the scripts that list.

local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local left, right = string.byte(a, i), string.byte(b, i)
    if left ~= right then return left < right end
  end
  return #a < #b
end

-- Entries of an index after one of it, newest first and by id within an instant, each as id and birth: at most `most`,
-- and whether there are more.
local function page(index, born, after, most)
  most = tonumber(most)
  local entries = {}
  local function add(flat, keep)
    for i = 1, #flat, 2 do
      if #entries > most then return end
      if keep(flat[i]) then table.insert(entries, { flat[i], flat[i + 1] }) end
    end
  end
  local from = '+inf'
  if born then
    add(redis.call('ZREVRANGEBYSCORE', index, born, born, 'WITHSCORES'), function(id) return is_before(id, after) end)
    from = '(' .. born
  end
  local rest = redis.call('ZREVRANGEBYSCORE', index, from, '-inf', 'WITHSCORES', 'LIMIT', 0, most + 1)
  add(rest, function() return true end)
  local more = #entries > most
  if more then table.remove(entries) end
  return entries, more
end
