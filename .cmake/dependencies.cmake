# Debian 12's packages.
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_package(CLI11 REQUIRED)

# Debian's libraries without a CMake package that works: CAF and hiredis ship none, cnats' names a static library that
# is not in the package.
function(kgents_find_library target name)
  find_library(${name}_LIBRARY ${name} REQUIRED)
  add_library(${target} UNKNOWN IMPORTED)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${${name}_LIBRARY})
endfunction()

kgents_find_library(caf::core caf_core)
kgents_find_library(cnats::nats nats)
kgents_find_library(hiredis::hiredis hiredis)
kgents_find_library(cjose::cjose cjose)
target_link_libraries(caf::core INTERFACE Threads::Threads)
