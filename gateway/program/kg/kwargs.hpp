#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <variant>

namespace kgents::kg {

/// What is wrong with the command line, in one line.
struct bad_usage {
  std::string message;
};

/// `--depth 3 --tags '["a"]' --text hello --urgent` as arguments of an aspect: numbers, booleans,
/// null and JSON are what they look like, anything else is text, an option without a value is true.
/// `--k=v` says the same where the value begins with dashes; `--kwargs JSON` gives a whole object,
/// for names that are options of kg. A hyphen in a name is an underscore.
[[nodiscard]] std::variant<boost::json::object, bad_usage> read_kwargs(
    std::span<const std::string> words);

}  // namespace kgents::kg
