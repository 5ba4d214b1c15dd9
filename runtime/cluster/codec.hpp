#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "protocol/agentese/invocation.hpp"
#include "protocol/entity.hpp"
#include "protocol/messages.hpp"
#include "protocol/stream_event.hpp"

/// How messages travel between nodes: the same structs with the same `inspect` as within one,
/// written field after field, integers little-endian, lengths as 32 bits.
///
/// Why not CAF's binary_deserializer: it resizes a string to whatever length the bytes announce
/// (four gigabytes if they say so); here nothing is allocated beyond what has arrived.
namespace kgents::runtime::cluster {

/// The last value of an enum that travels: what is beyond is refused, since it may be looked up in
/// a table.
template <class T>
struct last_of;
template <>
struct last_of<entity_kind> : std::integral_constant<entity_kind, entity_kind::traffic> {};
template <>
struct last_of<kgents::agentese::answer_kind>
    : std::integral_constant<kgents::agentese::answer_kind, kgents::agentese::answer_kind::refused> {};
template <>
struct last_of<when_busy> : std::integral_constant<when_busy, when_busy::interrupt> {};
template <>
struct last_of<event_kind> : std::integral_constant<event_kind, event_kind::gap> {};

/// An inspector that appends to a string.
class writer {
public:
  using result_type = bool;
  static constexpr bool reads_state = true;
  static constexpr bool writes_state = false;

  explicit writer(std::string& out) : out_{out} {}

  template <class... Ts>
  bool operator()(const Ts&... xs) {
    (put(xs), ...);
    return true;
  }

private:
  template <class T>
  void put(const T& x) {
    if constexpr (std::is_enum_v<T>) {
      number(static_cast<std::underlying_type_t<T>>(x));
    } else if constexpr (std::integral<T>) {
      number(x);
    } else {
      inspect(*this, const_cast<T&>(x));  // inspect takes a reference also where it only reads
    }
  }
  void put(const std::string& x) {
    number(static_cast<uint32_t>(x.size()));
    out_ += x;
  }
  void put(const std::array<uint8_t, 16>& x) {
    out_.append(reinterpret_cast<const char*>(x.data()), x.size());
  }
  template <class T>
  void put(const std::vector<T>& xs) {
    number(static_cast<uint32_t>(xs.size()));
    for (const auto& x : xs)
      put(x);
  }
  template <class T>
  void put(const std::optional<T>& x) {
    number(static_cast<uint8_t>(x.has_value()));
    if (x)
      put(*x);
  }
  template <std::integral T>
  void number(T x) {
    static_assert(std::endian::native == std::endian::little);
    char bytes[sizeof x];
    std::memcpy(bytes, &x, sizeof x);
    out_.append(bytes, sizeof x);
  }

  std::string& out_;
};

/// An inspector that reads what `writer` wrote. After the first thing that does not fit it fails
/// and reads no more.
class reader {
public:
  using result_type = bool;
  static constexpr bool reads_state = false;
  static constexpr bool writes_state = true;

  explicit reader(std::span<const char> in) : in_{in} {}

  template <class... Ts>
  bool operator()(Ts&... xs) {
    return (get(xs) && ...);
  }

  /// Everything was read and fitted.
  [[nodiscard]] bool done() const noexcept { return good_ && in_.empty(); }
  [[nodiscard]] bool good() const noexcept { return good_; }
  [[nodiscard]] std::span<const char> rest() const noexcept { return in_; }

private:
  template <class T>
  bool get(T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      uint8_t byte = 0;
      if (!number(byte) || byte > 1)
        return good_ = false;
      x = byte == 1;
      return true;
    } else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> value{};
      if (!number(value))
        return false;
      if (value > static_cast<std::underlying_type_t<T>>(last_of<T>::value))
        return good_ = false;
      x = static_cast<T>(value);
      return true;
    } else if constexpr (std::integral<T>) {
      return number(x);
    } else {
      return inspect(*this, x);
    }
  }
  bool get(std::string& x) {
    uint32_t size = 0;
    if (!number(size) || size > in_.size())
      return good_ = false;
    x.assign(in_.data(), size);
    in_ = in_.subspan(size);
    return true;
  }
  bool get(std::array<uint8_t, 16>& x) {
    if (in_.size() < x.size())
      return good_ = false;
    std::memcpy(x.data(), in_.data(), x.size());
    in_ = in_.subspan(x.size());
    return true;
  }
  template <class T>
  bool get(std::vector<T>& xs) {
    uint32_t size = 0;
    if (!number(size) || size > in_.size())  // each element takes a byte at least
      return good_ = false;
    xs.clear();
    for (; size > 0; --size)
      if (!get(xs.emplace_back()))
        return false;
    return true;
  }
  template <class T>
  bool get(std::optional<T>& x) {
    bool there = false;
    if (!get(there))
      return false;
    if (there)
      return get(x.emplace());
    x.reset();
    return true;
  }
  template <std::integral T>
  bool number(T& x) {
    if (!good_ || in_.size() < sizeof x)
      return good_ = false;
    std::memcpy(&x, in_.data(), sizeof x);
    in_ = in_.subspan(sizeof x);
    return true;
  }

  std::span<const char> in_;
  bool good_ = true;
};

template <class... Ts>
void append(std::string& out, const Ts&... xs) {
  writer{out}(xs...);
}

template <class... Ts>
[[nodiscard]] std::string encode(const Ts&... xs) {
  std::string out;
  append(out, xs...);
  return out;
}

/// False when the bytes are not exactly these values.
template <class... Ts>
[[nodiscard]] bool decode(std::span<const char> in, Ts&... xs) {
  reader from{in};
  return from(xs...) && from.done();
}

}  // namespace kgents::runtime::cluster
