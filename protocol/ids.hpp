#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace kgents {

/// 128 bits as RFC 9562 has them. Text form: lower-case, hyphenated, 36 characters.
struct uuid {
  std::array<uint8_t, 16> bytes{};

  /// Accepts the standard textual forms: with or without hyphens, braces or `urn:uuid:`, any case.
  [[nodiscard]] static std::optional<uuid> parse(std::string_view text) noexcept;

  /// Version 4, from the kernel's random source.
  [[nodiscard]] static uuid random();

  /// Version 7: milliseconds since the epoch, then random bits; sorts by time of creation.
  [[nodiscard]] static uuid time_ordered();

  /// Version 5 (SHA-1 of `space` and `name`): the same inputs give the same id on every node.
  [[nodiscard]] static uuid derived(const uuid& space, std::string_view name);

  [[nodiscard]] std::string text() const;
  void append_to(std::string& out) const;
  [[nodiscard]] bool is_nil() const noexcept { return bytes == decltype(bytes){}; }

  friend auto operator<=>(const uuid&, const uuid&) = default;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, uuid& x) {
  return f(x.bytes);
}

/// A uuid that names one kind of thing; two kinds do not mix.
template <class Tag>
struct strong_uuid {
  uuid value;

  strong_uuid() = default;
  explicit strong_uuid(const uuid& x) noexcept : value{x} {}

  [[nodiscard]] static std::optional<strong_uuid> parse(std::string_view text) noexcept {
    if (auto x = uuid::parse(text))
      return strong_uuid{*x};
    return std::nullopt;
  }

  [[nodiscard]] std::string text() const { return value.text(); }

  friend auto operator<=>(const strong_uuid&, const strong_uuid&) = default;
};

template <class Inspector, class Tag>
typename Inspector::result_type inspect(Inspector& f, strong_uuid<Tag>& x) {
  return f(x.value);
}

using tenant_id = strong_uuid<struct tenant_tag>;
using user_id = strong_uuid<struct user_tag>;
using api_key_id = strong_uuid<struct api_key_tag>;
using session_id = strong_uuid<struct session_tag>;
using message_id = strong_uuid<struct message_tag>;
using turn_id = strong_uuid<struct turn_tag>;

/// Position of a chunk in its turn, from 0, contiguous.
using chunk_index = uint32_t;

/// Fencing epoch, of a shard's lease or of a running turn: grows with each new owner; PostgreSQL
/// refuses the writes of an older one.
using lease_epoch = uint64_t;

}  // namespace kgents

template <>
struct std::hash<kgents::uuid> {
  size_t operator()(const kgents::uuid& x) const noexcept;
};

template <class Tag>
struct std::hash<kgents::strong_uuid<Tag>> {
  size_t operator()(const kgents::strong_uuid<Tag>& x) const noexcept {
    return std::hash<kgents::uuid>{}(x.value);
  }
};
