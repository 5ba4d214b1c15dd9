#include <charconv>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"
#include "sql/turns.hpp"

namespace kgents::sql {

namespace {

void append_number(std::string& array, uint64_t x) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, x).ptr;
  array.append(digits, end);
}

}  // namespace

void chunk_batch::add(turn_id turn, lease_epoch epoch, chunk_index index, std::string_view text,
                      const fence& lease) {
  begin_element(turns_);
  turn.value.append_to(turns_);
  begin_element(epochs_);
  append_number(epochs_, epoch);
  begin_element(indices_);
  append_number(indices_, index);
  begin_element(texts_);
  append_quoted(texts_, text);
  begin_element(shards_);
  append_number(shards_, lease.shard.value);
  begin_element(leases_);
  append_number(leases_, lease.epoch);
  ++size_;
}

query<std::vector<turn_id>> chunk_batch::take() {
  size_ = 0;
  return {{.statements = {{"SELECT kg.append_chunks($1, $2, $3, $4, $5, $6)",
                           {take_array(turns_), take_array(epochs_), take_array(indices_),
                            take_array(texts_), take_array(shards_), take_array(leases_)}}}},
          [](std::vector<rows>& all) {
            std::vector<turn_id> refused;
            for (int row = 0; row < all[0].size(); ++row)
              refused.push_back(id_at<turn_id>(all[0], row, 0));
            return refused;
          }};
}

}  // namespace kgents::sql
