#include "gateway/agentese/soul_turn.hpp"

#include <boost/asio/post.hpp>

#include "gateway/messages.hpp"
#include "runtime/limits.hpp"
#include "sql/sessions.hpp"
#include "sql/turns.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// A session that its user has removed stays removed: the next stream begins another one. So many
/// times; who goes on beyond that is told so.
constexpr unsigned generations = 8;

constexpr std::string_view unique_violation = "23505";

/// How the aspects of self.soul colour the session's answer.
struct colour {
  std::string_view aspect;
  std::string_view mode;
  std::string_view takes;  ///< names of the argument, the first that is there
};
constexpr colour colours[] = {
    {"dialogue", "", "message input"},
    {"chat", "", "message input"},
    {"challenge", "challenge", "message input challenge"},
    {"reflect", "reflect", "message input challenge"},
    {"why", "explore", "message topic input"},
    {"tension", "challenge", "message topic input"},
};

/// The first of these arguments that is a text.
std::optional<std::string> text_of(const json::object& kwargs, std::string_view names) {
  while (!names.empty()) {
    const auto name = names.substr(0, names.find(' '));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (const auto* x = kwargs.if_contains(name); x != nullptr && x->is_string())
      return std::string{x->get_string()};
  }
  return std::nullopt;
}

session_id session_of(const asker& by, std::string_view node, unsigned generation) {
  auto name = "soul-stream/" + by.who->key.user_ref + "/" + std::string{node};
  if (generation > 0)
    name += "/" + std::to_string(generation);
  return session_id{uuid::derived(by.who->key.tenant.value, name)};
}

template <class T>
void query(const asker& by, sql::query<T> what, std::function<void(sql::answer<T>)> done) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  sql::run(by.at.pool, std::move(what),
           [&context = by.thread.context(), done = std::move(done)](sql::answer<T> out) {
             boost::asio::post(context,
                               [done, out = std::move(out)]() mutable { done(std::move(out)); });
           });
}

/// Finds the user's session, or makes it.
class opening : public std::enable_shared_from_this<opening> {
public:
  using result = std::variant<session_id, refusal>;

  opening(asker by, std::string node, std::function<void(result)> done)
      : by_{std::move(by)}, node_{std::move(node)}, done_{std::move(done)} {}

  void look() {
    const auto id = session_of(by_, node_, generation_);
    query<std::optional<sql::session_row>>(
        by_, sql::sessions::get(by_.who->key.tenant, id),
        [self = shared_from_this(), id](sql::answer<std::optional<sql::session_row>> out) {
          if (const auto* row = std::get_if<0>(&out); row != nullptr && *row)
            self->done_(id);
          else if (row != nullptr)
            self->make(id);
          else
            self->done_(actors::refused_by_database(std::get<1>(out)));
        });
  }

private:
  void make(session_id id) {
    if (tried_) {
      // It is there and not seen: removed.
      tried_ = false;
      if (++generation_ == generations)
        done_(refusal{409, "The sessions of this stream were removed too often", 0, ""});
      else
        look();
      return;
    }
    sql::new_session fresh;
    fresh.id = id;
    fresh.title = node_;
    fresh.agent_type = "agentese";
    fresh.user = by_.who->key.user;
    fresh.api_key = by_.who->key.key;
    fresh.usage = usage_id{uuid::time_ordered()};
    query<sql::session_row>(by_, sql::sessions::create(by_.who->key.tenant, fresh),
                            [self = shared_from_this(), id](sql::answer<sql::session_row> out) {
                              const auto* why = std::get_if<1>(&out);
                              if (why == nullptr) {
                                self->done_(id);
                              } else if (why->sqlstate == unique_violation) {
                                self->tried_ =
                                    true;  // made by another request just now, or removed
                                self->look();
                              } else {
                                self->done_(actors::refused_by_database(*why));
                              }
                            });
  }

  const asker by_;
  const std::string node_;
  const std::function<void(result)> done_;
  unsigned generation_ = 0;
  bool tried_ = false;
};

void look_for_turn(const asker& by, std::string node, turn_id turn, unsigned generation,
                   std::function<void(std::variant<std::optional<found_turn>, refusal>)> done) {
  const auto session = session_of(by, node, generation);
  query<std::optional<sql::turn_row>>(
      by, sql::turns::get(by.who->key.tenant, session, turn),
      [=](sql::answer<std::optional<sql::turn_row>> out) {
        if (const auto* why = std::get_if<1>(&out)) {
          done(actors::refused_by_database(*why));
        } else if (const auto& row = std::get<0>(out)) {
          done(found_turn{session_entity(by.who->key.tenant, session), sql::ended(row->status),
                          static_cast<int64_t>(row->answer.chunks())});
        } else if (generation + 1 < generations) {
          look_for_turn(by, node, turn, generation + 1, done);
        } else {
          done(std::optional<found_turn>{});
        }
      });
}

}  // namespace

std::variant<soul_question, agentese::error> read_soul_question(std::string_view full_path,
                                                                std::string_view aspect,
                                                                const json::object& kwargs) {
  for (const auto& x : colours) {
    if (x.aspect != aspect)
      continue;
    auto message = text_of(kwargs, x.takes);
    if (!message)
      return agentese::errors::invalid_argument(full_path, "message",
                                                x.takes.find("topic") != std::string_view::npos
                                                    ? "message or topic required"
                                                    : "message required");
    if (message->find('\0') != std::string::npos)
      return agentese::errors::invalid_argument(full_path, "message",
                                                "message must not contain the character NUL");
    soul_question out{std::move(*message), std::string{x.mode}};
    if (aspect == "dialogue")
      out.mode = text_of(kwargs, "mode").value_or("");
    return out;
  }
  return agentese::errors::internal(full_path);
}

void begin_soul_turn(const asker& by, std::string node, const soul_question& what,
                     std::function<void(std::variant<soul_turn, refusal>)> done) {
  auto made = make_message({{"message", what.message}, {"mode", what.mode}}, *by.who, "");
  if (auto* no = std::get_if<refusal>(&made)) {
    done(std::move(*no));
    return;
  }
  const auto opened = [by, done, message = std::get<send_message>(std::move(made))](
                          const std::variant<session_id, refusal>& out) {
    if (const auto* no = std::get_if<refusal>(&out)) {
      done(*no);
      return;
    }
    const auto session = session_entity(by.who->key.tenant, std::get<session_id>(out));
    by.at.ports[by.thread.index()].ask<accepted>(
        session, message, [done, session](answer<accepted> x) {
          if (x.ok())
            done(soul_turn{session, x.value.turn, x.value.epoch});
          else
            done(std::move(x.wrong));
        });
  };
  std::make_shared<opening>(by, std::move(node), opened)->look();
}

void find_soul_turn(const asker& by, std::string node, turn_id turn,
                    std::function<void(std::variant<std::optional<found_turn>, refusal>)> done) {
  look_for_turn(by, std::move(node), turn, 0, std::move(done));
}

}  // namespace kgents::gateway
