#pragma once

#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "sql/pool.hpp"

namespace kgents::sql {

/// A transaction and how to read its rows: what the repositories (sessions, messages, turns, keys,
/// tenants, usage) return.
///
/// Pure: nothing happens until it is given to `run`, or `work` to a pool. Set `work.deadline`
/// before that.
template <class T>
struct query {
  transaction work;
  T (*parse)(std::vector<rows>&);
};

template <class T>
using answer = std::variant<T, failure>;

/// What a statement without rows of interest answers.
using nothing = std::monostate;

/// Runs it and calls `done(answer<T>)` once, on the pool's io_context thread. `done` must be
/// copyable and must not throw.
template <class T, class Done>
void run(transactor& where, query<T> what, Done done) {
  where.submit(std::move(what.work),
               [parse = what.parse, done = std::move(done)](outcome result) mutable {
                 if (auto* why = std::get_if<failure>(&result))
                   done(answer<T>{std::move(*why)});
                 else
                   done(answer<T>{parse(std::get<std::vector<rows>>(result))});
               });
}

}  // namespace kgents::sql
