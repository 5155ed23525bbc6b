// The names of the UVM that uvm_row_predictor.svh uses, with nothing behind them: enough to compile.
package uvm_pkg;
  class uvm_phase;
  endclass

  class uvm_sequence_item;
  endclass

  class uvm_registry #(type T = int);
    static function T create(string name);
      T made = new;
      return made;
    endfunction
  endclass

  class uvm_component;
    string name;

    function new(string name, uvm_component parent);
      this.name = parent == null ? name : {parent.name, ".", name};
    endfunction

    virtual function void build_phase(uvm_phase phase);
    endfunction

    virtual function void final_phase(uvm_phase phase);
    endfunction
  endclass

  class uvm_analysis_port #(type T = int) extends uvm_component;
    function new(string name, uvm_component parent);
      super.new(name, parent);
    endfunction

    function void write(T t);
    endfunction
  endclass

  virtual class uvm_subscriber #(type T = int) extends uvm_component;
    function new(string name, uvm_component parent);
      super.new(name, parent);
    endfunction

    pure virtual function void write(T t);
  endclass
endpackage

`define uvm_component_utils(T)
`define uvm_object_utils(T) typedef uvm_registry #(T) type_id;
`define uvm_fatal(ID, TEXT) $fatal(1, "%s: %s", ID, TEXT);
