#include "runtime/cluster/hello.hpp"

#include <algorithm>
#include <optional>

namespace kgents::runtime::cluster {

namespace {

constexpr std::string_view hello_magic = "KGPL";
constexpr std::string_view refusal_magic = "KGNO";

template <class Int>
void put(std::string& out, Int x) {
  for (size_t shift = sizeof(Int) * 8; shift > 0;)
    out.push_back(static_cast<char>(x >> (shift -= 8)));
}

void put_name(std::string& out, std::string_view x) {
  x = x.substr(0, max_hello_name_bytes);
  out.push_back(static_cast<char>(x.size()));
  out += x;
}

template <class Int>
std::optional<Int> take(std::string_view& from) {
  if (from.size() < sizeof(Int))
    return std::nullopt;
  Int x = 0;
  for (size_t i = 0; i < sizeof(Int); ++i)
    x = static_cast<Int>(x << 8 | static_cast<uint8_t>(from[i]));
  from.remove_prefix(sizeof(Int));
  return x;
}

std::optional<std::string> take_name(std::string_view& from) {
  const auto size = take<uint8_t>(from);
  if (!size || from.size() < *size)
    return std::nullopt;
  std::string out{from.substr(0, *size)};
  from.remove_prefix(*size);
  return out;
}

// A stranger's text goes into our log.
std::string printable(std::string_view x) {
  std::string out{x.substr(0, max_refusal_bytes)};
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

std::string quoted(std::string_view x) { return '"' + printable(x) + '"'; }

}  // namespace

std::string encode(const hello& x) {
  std::string out{hello_magic};
  put(out, x.protocol);
  put(out, x.from.value);
  put(out, x.to.value);
  put_name(out, x.cluster);
  put_name(out, x.name);
  return out;
}

std::string encode(const refusal& x) { return std::string{refusal_magic} + printable(x.text); }

std::variant<hello, refusal, malformed> parse_first_frame(std::span<const char> x) {
  std::string_view from{x.data(), x.size()};
  if (from.starts_with(refusal_magic))
    return refusal{printable(from.substr(refusal_magic.size()))};
  if (!from.starts_with(hello_magic))
    return malformed{"its first frame is no hello: magic " + quoted(from.substr(0, 4)) +
                     ", expected " + quoted(hello_magic)};
  from.remove_prefix(hello_magic.size());
  const auto protocol = take<uint16_t>(from);
  const auto own = take<uint64_t>(from);
  const auto meant = take<uint64_t>(from);
  if (!protocol || !own || !meant)
    return malformed{"its hello is cut short"};
  hello out{*protocol, {*own}, {*meant}, {}, {}};
  auto cluster = take_name(from);
  auto name = take_name(from);
  if (cluster && name) {
    out.cluster = std::move(*cluster);
    out.name = std::move(*name);
  }
  return out;
}

std::string describe_stranger(uint32_t announced_bytes) {
  std::string first;
  put(first, announced_bytes);
  if (first.starts_with("\x16\x03") || first.starts_with("\x15\x03"))  // handshake, alert
    return "it speaks TLS, this node's link is plaintext (it has no KGENTS_CLUSTER_TLS_CERT)";
  if (std::all_of(first.begin(), first.end(), [](char c) { return c >= ' ' && c <= '~'; }))
    return "it does not speak the peer protocol: it began with " + quoted(first);
  return "it does not speak the peer protocol: its first frame would have " +
         std::to_string(announced_bytes) + " bytes, at most " +
         std::to_string(max_hello_bytes - sizeof(uint32_t)) + " are allowed";
}

std::string mismatch(const hello& theirs, const hello& ours) {
  if (theirs.protocol != ours.protocol)
    return "it speaks protocol " + std::to_string(theirs.protocol) + ", this node speaks " +
           std::to_string(ours.protocol);
  if (theirs.cluster != ours.cluster)
    return "it belongs to cluster " + quoted(theirs.cluster) + ", this node to " +
           quoted(ours.cluster);
  return {};
}

}  // namespace kgents::runtime::cluster
