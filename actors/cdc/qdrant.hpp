#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "actors/cdc/point.hpp"
#include "actors/cdc/service.hpp"
#include "runtime/settings.hpp"

namespace kgents::cdc {

/// A point to write: with a vector it is new or its text has changed, else its payload alone is
/// replaced.
struct point_write {
  uuid id;
  std::vector<float> vector;
  boost::json::object payload;
};

/// The body of the one call that a batch is: POST /collections/{name}/points/batch. Pure.
[[nodiscard]] std::string batch_body(const std::vector<point_write>& writes,
                                     const std::vector<uuid>& deletes);

/// A search body; the tenant's filter is always in it (data.md 7.4). Pure.
[[nodiscard]] std::string search_body(tenant_id tenant, const std::vector<float>& vector,
                                      size_t most);

/// A point as a sweep sees it.
struct stored_point {
  uuid id;
  tenant_id tenant;
  std::string row;
};

struct point_page {
  std::vector<stored_point> points;
  std::optional<std::string> next;  ///< none: it was the last
};

/// What we ask of Qdrant (1.5 or later), over its REST interface. Coroutines of one thread.
class qdrant {
public:
  qdrant(runtime::io_thread& thread, const runtime::cdc_settings& how);

  /// The collection of a table's points: the configured name for memories, else `<name>_<table>`.
  [[nodiscard]] std::string collection_of(std::string_view table) const;

  /// Whether it answers.
  [[nodiscard]] task<std::optional<trouble>> probe();

  /// Makes the table's collection, for cosine, and the index on tenant_id, unless they are there.
  [[nodiscard]] task<std::optional<trouble>> ensure(std::string table);

  using texts = std::unordered_map<uuid, std::string>;
  /// The content_sha256 of those of the points that exist.
  [[nodiscard]] task<std::variant<texts, trouble>> stored_texts(std::string table,
                                                                std::vector<uuid> ids);

  /// Everything in one call; returns when it can be searched.
  [[nodiscard]] task<std::optional<trouble>> write(std::string table,
                                                   std::vector<point_write> writes,
                                                   std::vector<uuid> deletes);

  /// Points in the order of their ids, from `after` on.
  [[nodiscard]] task<std::variant<point_page, trouble>> scroll(std::string table,
                                                               std::optional<std::string> after,
                                                               size_t most);

  /// The tenant's points nearest to the vector: Qdrant's own list of them.
  [[nodiscard]] task<answered> search(std::string table, tenant_id tenant,
                                      std::vector<float> vector, size_t most);

private:
  [[nodiscard]] std::string path(std::string_view table, std::string_view rest = "") const;
  /// What an answer of `table`'s collection comes to: one that is gone is made anew the next time.
  trouble note(std::string_view table, trouble why);

  service service_;
  const std::string name_;
  const uint32_t dimension_;
  std::set<std::string, std::less<>> ready_;
};

}  // namespace kgents::cdc
