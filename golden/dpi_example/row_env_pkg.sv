// The environment: a class a file, in the order in which they need one another.
package row_env_pkg;
  import bitlog2_pkg::*;
  import bitlog2_dpi::*;
  import row_dims_pkg::*;

  `include "row_item.svh"
  `include "result_item.svh"
  `include "row_driver.svh"
  `include "row_monitor.svh"
  `include "row_predictor.svh"
  `include "row_scoreboard.svh"
  `include "row_env.svh"
endpackage
