#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/cdc.hpp"

/// From a changed row to a point of the vector index, and the mock of an embedding. Pure.
namespace kgents::cdc {

using sql::cdc::change;

/// A row's point: the same on every node and in every rebuild. Qdrant takes only unsigned integers
/// and UUIDs, so it is UUIDv5(URL namespace, `<tenant>/<table>/<row>`) (data.md 11.2).
[[nodiscard]] uuid point_id(tenant_id tenant, std::string_view table, std::string_view row);

/// Lower-case hexadecimal.
[[nodiscard]] std::string sha256_text(std::string_view text);

struct upsert_point {
  uuid id;
  std::string text;    ///< to embed; never empty
  std::string sha256;  ///< of it, also in the payload
  boost::json::object payload;
};

struct delete_point {
  uuid id;
};

/// It cannot become a point, now or later.
struct invalid_point {
  std::string error;
};

using point_change = std::variant<upsert_point, delete_point, invalid_point>;

/// What the index has to do for a change; a row without text has no point.
[[nodiscard]] point_change to_point(const change& x);

/// FNV-1a, 64 bits.
[[nodiscard]] uint64_t fnv1a(std::string_view text) noexcept;

/// v[i] = (s + i) / 1000 with s = FNV-1a(text) mod 1000: the same in every process (data.md 11.2).
[[nodiscard]] std::vector<float> mock_embedding(std::string_view text, size_t dimension);

}  // namespace kgents::cdc
