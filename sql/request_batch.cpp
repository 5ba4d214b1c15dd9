#include "sql/request_batch.hpp"

#include "sql/array_literal.hpp"

namespace kgents::sql {

namespace {

int64_t microseconds(std::chrono::system_clock::time_point x) {
  return std::chrono::duration_cast<std::chrono::microseconds>(x.time_since_epoch()).count();
}

}  // namespace

void request_batch::add(const request_count& x) {
  size_t column = 0;
  const auto plain = [&](std::string_view element) {
    auto& array = arrays_[column++];
    begin_element(array);
    array += element;
  };
  const auto text = [&](std::string_view element) {
    auto& array = arrays_[column++];
    begin_element(array);
    append_quoted(array, element);
  };
  plain(x.id.text());
  plain(x.tenant.text());
  plain(x.key.text());
  text(x.method);
  text(x.endpoint);
  plain(std::to_string(x.status));
  plain(std::to_string(x.quantity));
  plain(std::to_string(microseconds(x.first)));
  plain(std::to_string(microseconds(x.last)));
}

query<nothing> request_batch::take() {
  query<nothing> out;
  statement insert{"SELECT kg.record_requests($1, $2, $3, $4, $5, $6, $7, $8, $9)", {}};
  for (auto& array : arrays_)
    insert.params.emplace_back(take_array(array));
  out.work.statements.push_back(std::move(insert));
  out.parse = [](std::vector<rows>&) { return nothing{}; };
  return out;
}

}  // namespace kgents::sql
