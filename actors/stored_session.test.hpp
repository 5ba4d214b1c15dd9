#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "actors/scripted_database.test.hpp"

/// One session's turns with the rules of kg.begin_turn, claim_turn and end_turn, as far as a
/// session can tell.
namespace kgents::actors::test {

struct stored_turn {
  std::string id, message, answer, content, mode, budget, status;
  uint64_t epoch = 1;
  std::vector<std::string> chunks;  // durable
  std::vector<cell> end;            // parameters of the end_turn that ended it
  cell most_tokens{};
};

/// One session in a PostgreSQL that remembers just enough.
struct stored_session {
  std::string id, tenant;
  bool exists = true;
  std::string status = "active";
  cell title;
  std::vector<stored_turn> turns;
  std::map<std::string, std::string> keys;  // idempotency key to turn
  std::string refuses{};                    // the outcome of the next messages, if any
  cell most_tokens{};                       // of the turns that are begun

  stored_turn* find(const std::string& turn) {
    for (auto& x : turns)
      if (x.id == turn)
        return &x;
    return nullptr;
  }

  [[nodiscard]] std::vector<std::vector<cell>> row() const {
    if (!exists)
      return {};
    return {{id, tenant, title, "kgent", status, "reflect", std::to_string(turns.size()), "0",
             "2024-01-31T12:00:00.000000+00:00"}};
  }

  [[nodiscard]] std::vector<std::vector<cell>> row_with_last_ended() const {
    auto out = row();
    if (out.empty())
      return out;
    const auto last = std::find_if_not(turns.rbegin(), turns.rend(), open);
    const auto cells = last == turns.rend()
                           ? std::vector<cell>(3)
                           : std::vector<cell>{last->id, std::to_string(last->epoch),
                                               std::to_string(last->chunks.size())};
    out.front().insert(out.front().end(), cells.begin(), cells.end());
    return out;
  }

  static bool open(const stored_turn& x) { return x.status == "queued" || x.status == "running"; }

  static std::string lengths(const std::vector<std::string>& chunks) {
    std::string out;
    for (const auto& x : chunks)
      out += (out.empty() ? "" : ",") + std::to_string(x.size());
    return out;
  }

  static std::string joined(const std::vector<std::string>& chunks) {
    std::string out;
    for (const auto& x : chunks)
      out += x;
    return out;
  }

  sql::outcome begin(const std::vector<cell>& p) {
    const auto line = [](std::vector<cell> x) {
      x.resize(11);
      return one_result(11, {x});
    };
    if (!exists)
      return line({"missing"});
    if (p[9])
      if (const auto [known, fresh] = keys.emplace(*p[9], *p[0]); !fresh) {
        const auto& x = *find(known->second);
        return line(
            {"joined", x.id, x.message, x.answer, x.mode, std::to_string(x.epoch), x.status});
      }
    if (status == "closed")
      return line({"closed"});
    const auto unfinished = static_cast<size_t>(std::count_if(turns.begin(), turns.end(), open));
    const auto waiting = static_cast<size_t>(
        std::count_if(turns.begin(), turns.end(), [](auto& x) { return x.status == "queued"; }));
    if (unfinished > 0 && *p[13] == "reject")
      return line({"busy"});
    if (unfinished > 0 && waiting >= std::stoul(*p[12]))
      return line({"full"});
    if (!refuses.empty())
      return line({refuses, {}, {}, {}, {}, {}, {}, {}, "1000", "300", "600"});
    const bool starts = unfinished == 0;
    turns.push_back({*p[0],
                     *p[2],
                     *p[3],
                     *p[4],
                     p[5].value_or("reflect"),
                     p[6].value_or(""),
                     starts ? "running" : "queued",
                     1,
                     {},
                     {},
                     most_tokens});
    return line({starts ? "started" : "queued", p[0], p[2], p[3], turns.back().mode, "1",
                 turns.back().status, most_tokens});
  }

  sql::outcome claim(const std::string& turn) {
    auto* x = find(turn);
    if (x == nullptr || !open(*x))
      return one_result(1, {{std::nullopt}});
    x->status = "running";
    return one_result(1, {{std::to_string(++x->epoch)}});
  }

  sql::outcome end(const std::vector<cell>& p) {
    auto* x = find(*p[0]);
    if (x == nullptr || !open(*x) || std::to_string(x->epoch) != *p[1])
      return one_result(3, {{"fenced", std::nullopt, std::nullopt}});
    x->status = *p[2];
    x->end = p;
    return one_result(3, {{"ended", "2024-01-31T12:00:01.000000+00:00",
                           std::to_string(std::stoul(*p[5]) + std::stoul(*p[6]))}});
  }

  [[nodiscard]] sql::outcome unfinished() const {
    std::vector<std::vector<cell>> lines;
    for (size_t i = 0; i < turns.size(); ++i)
      if (const auto& x = turns[i]; open(x))
        lines.push_back({x.id, std::to_string(i + 1), x.status, x.message, x.answer, x.content,
                         x.mode, x.budget, "f", std::nullopt, std::to_string(x.epoch),
                         joined(x.chunks), lengths(x.chunks), x.most_tokens});
    return one_result(14, lines);
  }

  [[nodiscard]] std::vector<cell> turn_row(size_t i) const {
    const auto& x = turns[i];
    const auto at = [&](size_t k) { return x.end.empty() ? cell{} : x.end[k]; };
    return {x.id,
            id,
            std::to_string(i + 1),
            x.status,
            x.message,
            x.answer,
            x.mode,
            std::to_string(x.epoch),
            joined(x.chunks),
            std::nullopt,
            lengths(x.chunks),
            x.end.empty() ? "0" : std::to_string(std::stoul(*x.end[5]) + std::stoul(*x.end[6])),
            at(7),
            at(8),
            at(9),
            "2024-01-31T12:00:00.000000+00:00",
            x.end.empty() ? cell{} : cell{"2024-01-31T12:00:01.000000+00:00"}};
  }

  [[nodiscard]] sql::outcome get(const std::string& turn) const {
    for (size_t i = 0; i < turns.size(); ++i)
      if (turns[i].id == turn)
        return one_result(17, {turn_row(i)});
    return one_result(17, {});
  }

  [[nodiscard]] sql::outcome replay(size_t after) const {
    std::vector<std::vector<cell>> lines;
    for (size_t i = after; i < turns.size(); ++i)
      if (turns[i].status != "queued")
        lines.push_back(turn_row(i));
    return one_result(17, lines);
  }

  [[nodiscard]] sql::outcome locate(const std::string& turn) const {
    for (size_t i = 0; i < turns.size(); ++i)
      if (turns[i].id == turn)
        return one_result(2, {{std::to_string(i + 1), turns[i].status}});
    return one_result(2, {});
  }
};

}  // namespace kgents::actors::test
