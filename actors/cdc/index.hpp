#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <vector>

#include "actors/cdc/batch.hpp"
#include "actors/cdc/embeddings.hpp"
#include "actors/cdc/qdrant.hpp"
#include "runtime/circuit_breaker.hpp"

namespace kgents::cdc {

/// The vector index: rows become points, behind a breaker. Coroutines of one thread.
class vector_index {
public:
  vector_index(runtime::io_thread& thread, const runtime::cdc_settings& how,
               const runtime::provider_settings& openai);

  /// The tables whose rows become points.
  [[nodiscard]] const std::vector<std::string>& tables() const noexcept { return tables_; }
  [[nodiscard]] bool vectorises(std::string_view table) const;

  /// Whether it may be used now; tries it when it has been left alone for long enough.
  [[nodiscard]] task<bool> usable();
  [[nodiscard]] runtime::breaker_state state() const noexcept { return breaker_.state(); }

  /// Applies changes of one table, each of another row, in one write: an entry for each.
  [[nodiscard]] task<std::vector<applied>> apply(std::string table,
                                                 std::vector<const change*> changes);

  [[nodiscard]] task<std::variant<point_page, trouble>> points(std::string table,
                                                               std::optional<std::string> after,
                                                               size_t most);
  [[nodiscard]] task<std::optional<trouble>> remove(std::string table, std::vector<uuid> ids);

  [[nodiscard]] task<answered> search(std::string table, tenant_id tenant, std::string text,
                                      size_t most);

private:
  struct pending;
  [[nodiscard]] task<std::optional<trouble>> skip_unchanged(const std::string& table,
                                                            pending& work);
  [[nodiscard]] task<bool> embed(pending& work, std::vector<applied>& ends);
  void note(const trouble* why);

  const std::vector<std::string> tables_;
  qdrant qdrant_;
  embeddings embeddings_;
  runtime::circuit_breaker breaker_;
};

}  // namespace kgents::cdc
