#pragma once

#include <boost/asio/post.hpp>

#include <memory>

#include "actors/cdc/arriving.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/limits.hpp"
#include "sql/query.hpp"

namespace kgents::cdc {

/// The answer of a query, for a coroutine of `thread`.
template <class T>
task<sql::answer<T>> ask(runtime::io_thread& thread, sql::pool& pool, sql::query<T> what) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  // Behind a pointer: what is posted is copied.
  arriving<std::shared_ptr<sql::answer<T>>> answer{
      [&](std::function<void(std::shared_ptr<sql::answer<T>>)> done) {
        sql::run(pool, std::move(what), [&thread, done = std::move(done)](sql::answer<T> x) {
          auto kept = std::make_shared<sql::answer<T>>(std::move(x));
          boost::asio::post(thread.context(), [done, kept = std::move(kept)] { done(kept); });
        });
      }};
  auto got = co_await answer;
  co_return std::move(*got);
}

}  // namespace kgents::cdc
