      if (counted && start != 0 && errors == 1)
        $display(
            "  after reset %0d, which broke off a run from case %0d after %0d cycles; from case %0d on:",
            start, from, broken, base
        );
