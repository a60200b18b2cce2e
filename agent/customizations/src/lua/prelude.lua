-- What a rule may use beside the language itself. It runs before each rule, in a state that only
-- has Lua's base, string, table and math libraries, and gets what is written in Rust. Functions
-- that nothing could interrupt while they run in C are replaced by ones that are counted.
local find, spent, date, time, clock = ...
local error, select, type, tostring, rawget, rawlen = error, select, type, tostring, rawget, rawlen
local getmetatable, setmetatable, pcall = getmetatable, setmetatable, pcall
local byte, sub, rep, format = string.byte, string.sub, string.rep, string.format
local concat, pack, sort = table.concat, table.pack, table.sort

-- A rule whose limits are used up can not go on by catching the error.
local function unless_spent(...)
  if spent() then error("limit reached", 0) end
  return ...
end

local function protected_call(f, ...)
  return unless_spent(pcall(f, ...))
end

local function handled(handler, fine, ...)
  if fine then return true, ... end
  return false, handler(...)
end

local function limited_rep(text, count, separator)
  if #text == 0 and (separator == nil or #separator == 0) then return "" end
  return rep(text, count, separator)
end

-- The first capture, or the whole match when there is none.
local function captured(text, from, to, ...)
  if from == nil then return nil end
  if select("#", ...) == 0 then return sub(text, from, to) end
  return ...
end

local function text_of(value, name)
  local kind = type(value)
  if kind == "number" then return tostring(value) end
  if kind ~= "string" then error("bad argument to '" .. name .. "' (string expected, got " .. kind .. ")", 3) end
  return value
end

local function first_byte(text, init)
  init = init or 1
  if init < 0 then init = #text + init + 1 end
  if init < 1 then return 1 end
  return init
end

local function string_find(text, pattern, init, plain)
  text, pattern = text_of(text, "find"), text_of(pattern, "find")
  return find(text, pattern, first_byte(text, init), true, not not plain)
end

local function string_match(text, pattern, init)
  text, pattern = text_of(text, "match"), text_of(pattern, "match")
  return captured(text, find(text, pattern, first_byte(text, init), true, false))
end

local function string_gmatch(text, pattern)
  text, pattern = text_of(text, "gmatch"), text_of(pattern, "gmatch")
  local at = 1
  local function step(from, to, ...)
    if from == nil then
      at = #text + 2
      return nil
    end
    at = to < from and from + 1 or to + 1
    return captured(text, from, to, ...)
  end
  return function() return step(find(text, pattern, at, false, false)) end
end

-- The text that replaces one match.
local function filled(replacement, whole, captures)
  local parts, at = {}, 1
  while true do
    local from = find(replacement, "%", at, false, true)
    if from == nil then break end
    parts[#parts + 1] = sub(replacement, at, from - 1)
    local code = sub(replacement, from + 1, from + 1)
    local index = byte(code)
    if code == "0" or (code == "1" and captures.n == 0) then
      parts[#parts + 1] = whole
    elseif index and index >= 49 and index <= 57 then
      local value = captures[index - 48]
      if value == nil then error("invalid capture index", 3) end
      parts[#parts + 1] = tostring(value)
    else
      parts[#parts + 1] = code
    end
    at = from + 2
  end
  parts[#parts + 1] = sub(replacement, at)
  return concat(parts)
end

local function replaced(replacement, whole, ...)
  local kind = type(replacement)
  local value
  if kind == "function" then
    if select("#", ...) == 0 then value = replacement(whole) else value = replacement(...) end
  elseif kind == "table" then
    value = replacement[(select("#", ...) == 0) and whole or (...)]
  else
    return filled(replacement, whole, pack(...))
  end
  if not value then return whole end
  kind = type(value)
  if kind ~= "string" and kind ~= "number" then error("invalid replacement value (a " .. kind .. ")", 3) end
  return value
end

local function string_gsub(text, pattern, replacement, most)
  text, pattern = text_of(text, "gsub"), text_of(pattern, "gsub")
  local kind = type(replacement)
  if kind == "number" then
    replacement = tostring(replacement)
  elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
    error("bad argument to 'gsub' (string/function/table expected)", 2)
  end
  local anchored = sub(pattern, 1, 1) == "^"
  local parts, at, count = {}, 1, 0
  local function step(from, to, ...)
    if from == nil then return false end
    parts[#parts + 1] = sub(text, at, from - 1)
    parts[#parts + 1] = replaced(replacement, sub(text, from, to), ...)
    count = count + 1
    if to < from then
      parts[#parts + 1] = sub(text, from, from)
      at = from + 1
    else
      at = to + 1
    end
    return not anchored and at <= #text + 1
  end
  while not (most and count >= most) and step(find(text, pattern, at, true, false)) do end
  parts[#parts + 1] = sub(text, at)
  return concat(parts), count
end

-- Lengths are the table's own: what __len says is not asked.
local function table_insert(list, ...)
  local length = rawlen(list)
  local count = select("#", ...)
  if count == 1 then
    list[length + 1] = (...)
    return
  elseif count ~= 2 then
    error("wrong number of arguments to 'insert'", 2)
  end
  local place, value = ...
  if type(place) ~= "number" then error("bad argument #2 to 'insert' (number expected)", 2) end
  if place < 1 or place > length + 1 then error("bad argument #2 to 'insert' (position out of bounds)", 2) end
  for at = length, place, -1 do list[at + 1] = list[at] end
  list[place] = value
end

local function table_remove(list, place)
  local length = rawlen(list)
  place = place or length
  if place < 1 or place > length then return nil end
  local value = list[place]
  for at = place, length - 1 do list[at] = list[at + 1] end
  list[length] = nil
  return value
end

local function table_sort(list, before)
  unless_spent()
  if getmetatable(list) ~= nil then error("a table with a metatable can not be sorted", 2) end
  return sort(list, before)
end

local environment = {
  assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = next,
  pairs = pairs, pcall = protected_call, rawequal = rawequal, rawget = rawget, rawlen = rawlen,
  rawset = rawset, select = select, tonumber = tonumber, tostring = tostring, type = type,
  unpack = table.unpack, _VERSION = _VERSION,
  print = function() end,
  xpcall = function(f, handler, ...) return handled(handler, protected_call(f, ...)) end,
  -- A finalizer would run outside of every limit.
  setmetatable = function(value, meta)
    if type(meta) == "table" and rawget(meta, "__gc") ~= nil then error("__gc is not available", 2) end
    return setmetatable(value, meta)
  end,
  string = {
    byte = byte, char = string.char, find = string_find, format = format, gmatch = string_gmatch,
    gsub = string_gsub, len = string.len, lower = string.lower, match = string_match,
    rep = limited_rep, reverse = string.reverse, sub = sub, upper = string.upper,
  },
  table = {
    concat = concat, insert = table_insert, pack = pack, remove = table_remove, sort = table_sort,
    unpack = table.unpack,
    getn = function(list) return rawlen(list) end,
    maxn = function(list)
      local most = 0
      for key in next, list do if type(key) == "number" and key > most then most = key end end
      return most
    end,
  },
  math = {},
  os = { time = time, date = date, clock = clock },
}
for name, value in next, math do
  if name ~= "random" and name ~= "randomseed" then environment.math[name] = value end
end
math = environment.math
environment._G = environment
getmetatable("").__index = environment.string
return environment
