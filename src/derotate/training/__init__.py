# SPDX-License-Identifier: MIT
"""Training of the base, SFT and RL; trl and peft do the work.

Reading order:

- SFT: `sft` is the whole training on one device. `fsdp` and `full_weights` add several processes,
  `resume` adds states from which a killed job resumes.
- GRPO: `rl_job` says what a run is. `grpo` sets up trl's trainer, `grpo_trainer` adds seeds and a
  log to it. `rollout` has what both algorithms compute on responses, `rl_log` the tables.
- PPO: `ppo` is the loop of an update. `multi_turn` plays its episodes, `ppo_losses` has the
  formulas, `ppo_policy` the models and optimizer.

`launch` starts several processes, and `collectives` is how they exchange numbers. `vllm_rollouts`
replaces the sampling of either algorithm.
"""
