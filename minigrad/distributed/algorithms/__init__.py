"""What is made of collectives: `join.py` for uneven inputs, `ddp_comm_hooks/` for gradients."""
